"""What stores of hookrag share."""
