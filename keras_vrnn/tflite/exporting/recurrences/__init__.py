"""The recurrent cells that can be exported, one per file."""
