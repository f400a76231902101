"""From a dossier to what a statement says, in no language or format: `build` makes, `view` rounds it."""
