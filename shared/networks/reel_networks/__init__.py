"""The torch networks that trainer and explainer share: one definition, one set of weight names."""
