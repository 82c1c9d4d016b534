"""Planning a batch: from a query to a plan, and from a plan to the rows of its tasks."""
