"""From videos to clips of one face each, by several processes."""
