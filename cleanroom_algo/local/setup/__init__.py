"""From files on this machine to requests of the API."""
