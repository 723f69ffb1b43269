"""The objects of a channel, in a folder of this machine or below a prefix in S3."""
