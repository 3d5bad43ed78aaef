"""The ground floor: what payhealth talks about. Standard library only, frozen values, no clock, no I/O."""
