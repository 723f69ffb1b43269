"""From files of this machine to requests of the API."""
