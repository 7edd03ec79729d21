"""Pure rules as tables: no socket, file or clock."""
