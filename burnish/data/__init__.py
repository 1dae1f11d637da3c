"""What the data is: finding, labelling, splitting, blocks, transforms, the table and batches."""
