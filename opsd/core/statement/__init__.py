"""From a dossier to what a statement says, in no language and no format: `build` makes it, `view` rounds it."""
