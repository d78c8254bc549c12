"""What others make of the evidence: doctor (before), diagnosis (after), verify (by others), the ledger."""
