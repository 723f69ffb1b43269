"""From a rehearsal to documents for AWS: templates, requests, policies; pure functions, except for `push`.

Everything is described once, by the parameters of the API's operations. A value that only AWS knows is a `Placeholder`.
Each document writes it in its own way: as a reference in a template, as a variable in a script.
"""
