"""What is said: the wire formats, read and written; bytes in, values out.  Pure."""
