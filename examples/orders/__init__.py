"""A shop's order workflow: validate, charge and reserve in parallel, ship or refund, notify, compensate failures."""
