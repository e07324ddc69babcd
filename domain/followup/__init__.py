"""The year after enrolment: contacts in their cadence, tier, assessment, care plan, authorisation, populations of focus."""
