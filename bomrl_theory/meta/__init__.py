"""The upper level: choosing a meta-policy."""
