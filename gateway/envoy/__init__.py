"""Several servers behind one address: we render the configuration, Envoy does the work."""
