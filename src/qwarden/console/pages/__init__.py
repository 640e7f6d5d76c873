"""How things look. Text that comes from traffic is only ever set as text, never as markup."""
