"""The people who keep the promises: roles, licences with expiry, absences."""
