(* Written by `python proofs/check.py --generate` from the registry of bomrl_theory. Do not edit. *)
From Coq Require Import Reals.
From mathcomp Require Import all_ssreflect.
From BOMRL Require Import Definitions Constant.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Local Open Scope R_scope.

(* contraction_euclidean-v1: Universal contraction bound, Alg^(3): squared distance of softmax parameters *)
Definition contraction_euclidean_left (Tasks : finType) (gap : Tasks -> R) (tau : Tasks) : R :=
  gap tau.
Definition contraction_euclidean_bound (Tasks States : finType) (rho : Tasks -> States -> R) (gamma : R) (D : Tasks
    -> States -> R) (a : Tasks -> States -> R) (p : Tasks -> States -> R) (t : Tasks -> States -> R) (ell : Tasks ->
    States -> R) (A : R) (eta : Tasks -> States -> R) (tau : Tasks) : R :=
  gamma * Largest (fun s : States => eta tau s) / (1 - gamma) + Sum (fun s : States => (gamma * D tau s + a tau s /
    (1 + p tau s * exp (t tau s) - p tau s) + t tau s ^ 2 * (1 - 1 / A) * ell tau s) * rho tau s) + Sum (fun s :
    States => eta tau s * rho tau s).
Definition contraction_euclidean_claim : Prop := forall (Tasks States Actions : finType) (c : case Tasks States
    Actions),
  method c = euclidean ->
  forall tau : Tasks,
  contraction_euclidean_left (Constant.gap c) tau
  <= contraction_euclidean_bound (Constant.rho c) (Constant.gamma c) (Constant.D c) (Constant.a c) (Constant.p c)
    (Constant.t c) (Constant.ell c) (Constant.A c) (Constant.eta c) tau.

(* contraction_kl_posterior-v1: Universal contraction bound, Alg^(2): KL(pi || phi) *)
Definition contraction_kl_posterior_left (Tasks : finType) (gap : Tasks -> R) (tau : Tasks) : R :=
  gap tau.
Definition contraction_kl_posterior_bound (Tasks States : finType) (rho : Tasks -> States -> R) (gamma : R) (D :
    Tasks -> States -> R) (lambda : R) (p : Tasks -> States -> R) (eta : Tasks -> States -> R) (tau : Tasks) : R :=
  gamma * Largest (fun s : States => eta tau s) / (1 - gamma) + Sum (fun s : States => (gamma * D tau s - lambda *
    ln (p tau s)) * rho tau s) + Sum (fun s : States => eta tau s * rho tau s).
Definition contraction_kl_posterior_claim : Prop := forall (Tasks States Actions : finType) (c : case Tasks States
    Actions),
  method c = kl_posterior ->
  forall tau : Tasks,
  contraction_kl_posterior_left (Constant.gap c) tau
  <= contraction_kl_posterior_bound (Constant.rho c) (Constant.gamma c) (Constant.D c) (Constant.lambda c)
    (Constant.p c) (Constant.eta c) tau.

(* contraction_kl_prior-v1: Universal contraction bound, Alg^(1): KL(phi || pi) *)
Definition contraction_kl_prior_left (Tasks : finType) (gap : Tasks -> R) (tau : Tasks) : R :=
  gap tau.
Definition contraction_kl_prior_bound (Tasks States : finType) (rho : Tasks -> States -> R) (gamma : R) (D : Tasks
    -> States -> R) (a : Tasks -> States -> R) (lambda : R) (p : Tasks -> States -> R) (eps : Tasks -> States -> R)
    (eta : Tasks -> States -> R) (tau : Tasks) : R :=
  gamma * Largest (fun s : States => eta tau s) / (1 - gamma) + Sum (fun s : States => (gamma * D tau s + lambda *
    (p tau s * ln (p tau s / (1 - (1 - p tau s) * eps tau s)) - (1 - p tau s) * ln (eps tau s)) + a tau s * eps tau
    s) * rho tau s) + Sum (fun s : States => eta tau s * rho tau s).
Definition contraction_kl_prior_claim : Prop := forall (Tasks States Actions : finType) (c : case Tasks States
    Actions),
  method c = kl_prior ->
  forall tau : Tasks,
  contraction_kl_prior_left (Constant.gap c) tau
  <= contraction_kl_prior_bound (Constant.rho c) (Constant.gamma c) (Constant.D c) (Constant.a c) (Constant.lambda
    c) (Constant.p c) (Constant.eps c) (Constant.eta c) tau.

(* contraction_task_average-v1: Universal contraction bound on the expected optimality gap *)
Definition contraction_task_average_left (Tasks : finType) (w : Tasks -> R) (gap : Tasks -> R) : R :=
  Sum (fun tau : Tasks => gap tau * w tau).
Definition contraction_task_average_bound (Tasks States : finType) (w : Tasks -> R) (rho : Tasks -> States -> R)
    (gamma : R) (D : Tasks -> States -> R) (e : Tasks -> States -> R) (eta : Tasks -> States -> R) : R :=
  Sum (fun tau : Tasks => (gamma * Largest (fun s : States => eta tau s) / (1 - gamma) + Sum (fun s : States =>
    (gamma * D tau s + e tau s) * rho tau s) + Sum (fun s : States => eta tau s * rho tau s)) * w tau).
Definition contraction_task_average_claim : Prop := forall (Tasks States Actions : finType) (c : case Tasks States
    Actions),
  method c = kl_prior \/ method c = kl_posterior \/ method c = euclidean ->
  contraction_task_average_left (Constant.w c) (Constant.gap c)
  <= contraction_task_average_bound (Constant.w c) (Constant.rho c) (Constant.gamma c) (Constant.D c) (Constant.e c)
    (Constant.eta c).

(* coverage-v1: Mirror descent with coverage, one step *)
Definition coverage_left (Tasks : finType) (gap : Tasks -> R) (tau : Tasks) : R :=
  gap tau.
Definition coverage_bound (Tasks States : finType) (C : Tasks -> R) (gap_phi : Tasks -> R) (lambda : R) (gamma : R)
    (nu_star : Tasks -> States -> R) (nu_plus : Tasks -> States -> R) (k : Tasks -> States -> R) (zeta : Tasks ->
    States -> R) (tau : Tasks) : R :=
  Sum (fun s : States => (nu_plus tau s - nu_star tau s / C tau) * zeta tau s) / (1 - gamma) + (1 - 1 / C tau) *
    gap_phi tau + lambda * Sum (fun s : States => k tau s * nu_star tau s) / ((1 - gamma) * C tau).
Definition coverage_claim : Prop := forall (Tasks States Actions : finType) (c : case Tasks States Actions),
  method c = kl_posterior ->
  forall tau : Tasks,
  coverage_left (Constant.gap c) tau
  <= coverage_bound (Constant.C c) (Constant.gap_phi c) (Constant.lambda c) (Constant.gamma c) (Constant.nu_star c)
    (Constant.nu_plus c) (Constant.k c) (Constant.zeta c) tau.

(* no_adaptation-v1: Optimality gap without adaptation, total variation form *)
Definition no_adaptation_left (Tasks : finType) (gap_phi : Tasks -> R) (tau : Tasks) : R :=
  gap_phi tau.
Definition no_adaptation_bound (Tasks States : finType) (Delta_star : Tasks -> R) (gamma : R) (nu_phi : Tasks ->
    States -> R) (p : Tasks -> States -> R) (tau : Tasks) : R :=
  Delta_star tau * Sum (fun s : States => (1 - p tau s) * nu_phi tau s) / (1 - gamma).
Definition no_adaptation_claim : Prop := forall (Tasks States Actions : finType) (c : case Tasks States Actions),
  method c = none ->
  forall tau : Tasks,
  no_adaptation_left (Constant.gap_phi c) tau
  <= no_adaptation_bound (Constant.Delta_star c) (Constant.gamma c) (Constant.nu_phi c) (Constant.p c) tau.

(* performance_difference-v1: Performance difference lemma *)
Definition performance_difference_left (Tasks : finType) (improvement : Tasks -> R) (tau : Tasks) : R :=
  improvement tau.
Definition performance_difference_bound (Tasks States : finType) (gamma : R) (nu_plus : Tasks -> States -> R) (g :
    Tasks -> States -> R) (tau : Tasks) : R :=
  Sum (fun s : States => g tau s * nu_plus tau s) / (1 - gamma).
Definition performance_difference_claim : Prop := forall (Tasks States Actions : finType) (c : case Tasks States
    Actions),
  method c = kl_prior \/ method c = kl_posterior \/ method c = euclidean \/ method c = policy_gradient ->
  forall tau : Tasks,
  performance_difference_left (Constant.improvement c) tau
  = performance_difference_bound (Constant.gamma c) (Constant.nu_plus c) (Constant.g c) tau.

(* published_bound-v1: Published form of the bound, any lambda *)
Definition published_bound_left (Tasks : finType) (w : Tasks -> R) (gap : Tasks -> R) : R :=
  Sum (fun tau : Tasks => gap tau * w tau).
Definition published_bound_bound (Tasks States : finType) (w : Tasks -> R) (lambda : R) (gamma : R) (nu_phi : Tasks
    -> States -> R) (p : Tasks -> States -> R) : R :=
  lambda * (1 + gamma) * Sum (fun tau : Tasks => w tau * Sum (fun s : States => - (nu_phi tau s * ln (p tau s)))) /
    (1 - gamma).
Definition published_bound_claim : Prop := forall (Tasks States Actions : finType) (c : case Tasks States Actions),
  method c = kl_posterior ->
  Constant.solves_inner_problem c ->
  published_bound_left (Constant.w c) (Constant.gap c)
  <= published_bound_bound (Constant.w c) (Constant.lambda c) (Constant.gamma c) (Constant.nu_phi c) (Constant.p c).

(* published_bound_conditional-v1: Published form of the bound, lambda above its threshold *)
Definition published_bound_conditional_left (Tasks : finType) (w : Tasks -> R) (gap : Tasks -> R) : R :=
  Sum (fun tau : Tasks => gap tau * w tau).
Definition published_bound_conditional_bound (Tasks States : finType) (w : Tasks -> R) (lambda : R) (gamma : R)
    (nu_phi : Tasks -> States -> R) (p : Tasks -> States -> R) (eta : Tasks -> States -> R) : R :=
  Sum (fun tau : Tasks => w tau * Largest (fun s : States => eta tau s)) / (1 - gamma) + lambda * (1 + gamma) * Sum
    (fun tau : Tasks => w tau * Sum (fun s : States => - (nu_phi tau s * ln (p tau s)))) / (1 - gamma).
Definition published_bound_conditional_assumption1 (Tasks : finType) (lambda : R) (gamma : R) (A_max : Tasks -> R) :
    R :=
  lambda - (2 - gamma) * Largest (fun tau : Tasks => A_max tau) / ((1 + gamma) * (1 - gamma)).
Definition published_bound_conditional_claim : Prop := forall (Tasks States Actions : finType) (c : case Tasks
    States Actions),
  method c = kl_posterior ->
  0 <= published_bound_conditional_assumption1 (Constant.lambda c) (Constant.gamma c) (Constant.A_max c) ->
  published_bound_conditional_left (Constant.w c) (Constant.gap c)
  <= published_bound_conditional_bound (Constant.w c) (Constant.lambda c) (Constant.gamma c) (Constant.nu_phi c)
    (Constant.p c) (Constant.eta c).

(* task_variance-v1: Task variance bounds the expected optimality gap *)
Definition task_variance_left (Tasks : finType) (w : Tasks -> R) (gap : Tasks -> R) : R :=
  Sum (fun tau : Tasks => gap tau * w tau).
Definition task_variance_bound (Tasks States : finType) (w : Tasks -> R) (Delta : Tasks -> R) (lambda : R) (gamma :
    R) (Var : R) (M : R) (rho : Tasks -> States -> R) (eta : Tasks -> States -> R) : R :=
  (M + Var) * Rmax lambda (Largest (fun tau : Tasks => Delta tau)) / (1 - gamma) + Sum (fun tau : Tasks => (gamma *
    Largest (fun s : States => eta tau s) / (1 - gamma) + Sum (fun s : States => eta tau s * rho tau s)) * w tau).
Definition task_variance_claim : Prop := forall (Tasks States Actions : finType) (c : case Tasks States Actions),
  method c = kl_posterior ->
  task_variance_left (Constant.w c) (Constant.gap c)
  <= task_variance_bound (Constant.w c) (Constant.Delta c) (Constant.lambda c) (Constant.gamma c) (Constant.Var c)
    (Constant.M c) (Constant.rho c) (Constant.eta c).
