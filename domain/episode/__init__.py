"""One assignment to closure: who cares for the member, from which plan, agreed how, ended why."""
