"""What touches the file system: durable writes, the lock of an index, the folders of its generations."""
