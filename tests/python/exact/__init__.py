"""The differential test: every mart against a full refresh and against plain SQL."""
