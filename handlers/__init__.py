"""What reacts to a scenario. Middle ring: knows loyalty and intents, no network, no clock."""
