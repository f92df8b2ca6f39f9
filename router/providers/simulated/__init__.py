"""The provider that needs no key: answers without any model or network."""
