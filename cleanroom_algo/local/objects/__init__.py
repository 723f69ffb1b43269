"""Where the objects of a channel come from: a folder of this machine, or a prefix in S3."""
