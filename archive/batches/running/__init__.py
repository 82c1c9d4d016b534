"""Running a batch: from the rows of its tasks to derivatives and their records."""
