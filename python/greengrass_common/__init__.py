"""What functions of Greengrass V1 import from their core, provided by Sedge."""
