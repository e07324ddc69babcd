"""What is said of an episode about the care itself, from the enrolment on: assessments, authorised days, care plans, the way out.

The year's follow-up asks for all of it; nobody else does, and nobody else is woken by it.
"""

from __future__ import annotations

from typing import get_args

from domain.core import Fact
from domain.episode.assessments import AssessmentFact
from domain.episode.authorisations import AuthorisationFact
from domain.episode.care_plans import CarePlanFact
from domain.episode.closing import ClosingFact
from domain.episode.enrolment import EnrolmentFact

OF_CARE: tuple[type[Fact], ...] = get_args(EnrolmentFact | AuthorisationFact | AssessmentFact | CarePlanFact | ClosingFact)
