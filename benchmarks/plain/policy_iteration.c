/* Policy iteration for many small dense Markov decision processes, one after the other, in doubles.

   Of every task P[s][a][t] are probabilities and r[s][a] rewards. A policy is evaluated by Gaussian elimination;
   I - gamma P_pi is diagonally dominant by rows, so no pivoting is needed. */

#include <stddef.h>
#include <stdlib.h>

enum { LANES = 8 };

/* Partial sums that do not wait for each other, and that a compiler may keep in one vector. */
static double dot(int n, const double *restrict x, const double *restrict y)
{
    double part[LANES] = {0.0}, sum = 0.0;
    int i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int lane = 0; lane < LANES; lane++)
            part[lane] += x[i + lane] * y[i + lane];
    for (; i < n; i++)
        sum += x[i] * y[i];
    for (int lane = 0; lane < LANES; lane++)
        sum += part[lane];
    return sum;
}

/* V of the policy; the matrix [states][states] is scratch. */
static void evaluate(int states, int actions, double gamma, const double *restrict P, const double *restrict r,
                     const int *restrict policy, double *restrict matrix, double *restrict V)
{
    for (int s = 0; s < states; s++) {
        const double *row = P + ((size_t)s * actions + policy[s]) * states;
        for (int t = 0; t < states; t++)
            matrix[s * states + t] = -gamma * row[t];
        matrix[s * states + s] += 1.0;
        V[s] = r[s * actions + policy[s]];
    }
    for (int k = 0; k < states; k++) {
        const double *pivot = matrix + k * states;
        const double inverse = 1.0 / pivot[k];
        for (int s = k + 1; s < states; s++) {
            double *row = matrix + s * states;
            const double factor = row[k] * inverse;
            for (int t = k + 1; t < states; t++)
                row[t] -= factor * pivot[t];
            V[s] -= factor * V[k];
        }
    }
    for (int s = states - 1; s >= 0; s--) {
        V[s] /= matrix[s * states + s];
        for (int i = 0; i < s; i++)
            V[i] -= matrix[i * states + s] * V[s];
    }
}

/* Values [tasks][states] of optimal policies [tasks][states]. An action is changed for a gain of more than the
   tolerance. Returns the linear systems that were solved, or -1 without memory. */
long solve_batch(long tasks, int states, int actions, double gamma, double tolerance, const double *P, const double *r,
                 double *V, int *policy)
{
    double *matrix = malloc(sizeof(double) * states * states);
    long systems = 0;
    if (matrix == NULL)
        return -1;
    for (long task = 0; task < tasks; task++) {
        int improved;
        for (int s = 0; s < states; s++) {
            policy[s] = 0;
            for (int a = 1; a < actions; a++)
                if (r[s * actions + a] > r[s * actions + policy[s]])
                    policy[s] = a;
        }
        do {
            evaluate(states, actions, gamma, P, r, policy, matrix, V);
            systems++;
            improved = 0;
            for (int s = 0; s < states; s++) {
                const double *row = P + (size_t)s * actions * states;
                double kept = 0.0, best = 0.0;
                int choice = -1;
                for (int a = 0; a < actions; a++) {
                    const double value = r[s * actions + a] + gamma * dot(states, row + (size_t)a * states, V);
                    if (a == policy[s])
                        kept = value;
                    if (choice < 0 || value > best) {
                        best = value;
                        choice = a;
                    }
                }
                if (best > kept + tolerance) {
                    policy[s] = choice;
                    improved = 1;
                }
            }
        } while (improved);
        P += (size_t)states * actions * states;
        r += (size_t)states * actions;
        V += states;
        policy += states;
    }
    free(matrix);
    return systems;
}
