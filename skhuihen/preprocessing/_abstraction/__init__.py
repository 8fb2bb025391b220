"""How `BehaviorAbstractor` finds which operations belong together."""
