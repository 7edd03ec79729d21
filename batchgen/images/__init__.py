"""From links and base64 to verified files: addresses, download, decoding, names."""
