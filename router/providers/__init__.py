"""Who answers: the providers, the attempts at them, and the calls themselves."""
