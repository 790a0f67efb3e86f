"""What an object is: schema, scheme, quantities, selectors, patches, typed views, errors. No I/O."""
