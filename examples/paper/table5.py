"""Table 5 of the paper: HUIHEN with and without a matrix for each behavior field.

python examples/paper/table5.py --output results
python examples/paper/table5.py --output quick --small
"""

from measure import run

if __name__ == "__main__":
    run("table5", __doc__, ["bank_a", "bank_b"], ["HUIHEN", "HUIHEN, no field-aware matrices"])
