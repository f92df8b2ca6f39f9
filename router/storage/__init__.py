"""Where the gateway keeps what outlives a request: the connections, without what is kept."""
