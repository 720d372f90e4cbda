"""The rules: what stages and pipelines declare, compared with what they read and return."""
