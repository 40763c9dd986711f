"""Training samples: photos, masks and augmentation."""
