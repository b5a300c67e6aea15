"""From a video file to the aligned faces in it: reading, detection, alignment, tracks, preparation."""
