"""A package, so that what its fixtures share, six daemons and variables of the environment, ends with its last test."""
