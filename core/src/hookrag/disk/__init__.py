"""What touches the file system: durable writes and locks, which plugins use too, and the folders of an index's generations."""
