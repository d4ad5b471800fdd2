"""How functions of Greengrass V1 ask their core for something, provided by Sedge."""
