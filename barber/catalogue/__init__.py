"""The record: every job, stage, artifact and worker is a row, and rows change only here."""
