"""From a video to the timeline of its faces."""
