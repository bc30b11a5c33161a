"""Where all that is made lies: names by content, artifacts, leases, copies of object stores."""
