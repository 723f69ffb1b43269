"""From what was rehearsed to documents for AWS: templates, requests, policies; pure functions but for `push`.

Everything is described once, by the parameters of the API's operations. What only AWS knows is a `Placeholder` in
them, which each document spells in its own way: a reference in a template, a variable in a script.
"""
