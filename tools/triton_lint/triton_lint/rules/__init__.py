"""The rules, by what they are about; `catalogue` lists them all."""
