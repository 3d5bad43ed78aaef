"""payhealth: did every payment become the right credit, and was every credit paid for?"""
