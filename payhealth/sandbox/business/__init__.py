"""A simulated business that sells credits, with planted faults and the truth about them."""

from payhealth.sandbox.business.faults import DEFAULT_FAULTS
from payhealth.sandbox.business.simulation import CreditsBusiness
from payhealth.sandbox.business.truth import PlantedCheck, PlantedFault, TruthBook

__all__ = ["DEFAULT_FAULTS", "CreditsBusiness", "PlantedCheck", "PlantedFault", "TruthBook"]
