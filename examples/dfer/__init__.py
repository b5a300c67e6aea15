"""Dynamic facial expression recognition: what the scripts share."""
