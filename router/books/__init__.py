"""What requests came to: the record of each, told at its end.  A ledger stands on this."""
