"""What is kept in a database: its tables, how it is opened, and how it grows from version to version."""
