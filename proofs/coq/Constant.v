(* The constants of the bounds, one for each constant that bomrl_theory measures on a case and under its name.

   The Python half is bomrl_theory/theory/constants.py, theory/comparator.py and the theorem files; meanings are the
   same word for word. This file is never imported, so that its one-letter names are always written Constant.p. *)
From Coq Require Import Reals Lra.
From mathcomp Require Import all_ssreflect.
From BOMRL Require Import Definitions.
From BOMRL Require ComparatorError.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Local Open Scope R_scope.

Section Constants.
Variables (Tasks States Actions : finType) (c : case Tasks States Actions).
Implicit Types (tau : Tasks) (s : States).

Definition Q_phi tau : States -> Actions -> R := Q (task c tau) (V_phi c tau).
Definition Q_star tau : States -> Actions -> R := Q (task c tau) (V_star c tau).

Definition gamma : R := common_discount c.
Definition lambda : R := regularisation c.
Definition w tau : R := weight c tau.
Definition rho tau s : R := start (task c tau) s.
Definition nu_phi tau s : R := visit_phi c tau s.
Definition nu_star tau s : R := visit_star c tau s.
Definition nu_plus tau s : R := visit_plus c tau s.

(* phi(a-star|s) and the advantage of a-star under phi. *)
Definition p tau s : R := meta c s (best c tau s).
Definition a tau s : R := Q_phi tau s (best c tau s) - V_phi c tau s.

(* P_{pi-star}(V-star - V^phi). *)
Definition D tau s : R := Sum (fun s' => P (task c tau) s (best c tau s) s' * (V_star c tau s' - V_phi c tau s')).

(* Optimality gaps after and without adaptation, and what adaptation gained. *)
Definition gap tau : R := J (task c tau) (V_star c tau) - J (task c tau) (V_plus c tau).
Definition gap_phi tau : R := J (task c tau) (V_star c tau) - J (task c tau) (V_phi c tau).
Definition improvement tau : R := J (task c tau) (V_plus c tau) - J (task c tau) (V_phi c tau).

(* <pi+, A^phi> at s. *)
Definition g tau s : R := inner (adapted c tau s) (fun b => Q_phi tau s b - V_phi c tau s).

Definition Delta tau : R := Largest (fun s => span (Q_phi tau s)).
Definition Delta_star tau : R := Largest (fun s => Largest (fun b => V_star c tau s - Q_star tau s b)).
Definition A_max tau : R := Largest (fun s => Largest (fun b => Rabs (Q_phi tau s b - V_phi c tau s))).

(* ---- comparator errors and the inner problem (sections 1, 2 and 6) ----------------------------------------- *)

Definition eps tau s : R := mixture c tau s.
Definition t tau s : R := logit c tau s.
Definition ell tau s : R := if Req_EM_T (nu_phi tau s) 0 then 0 else lambda / nu_phi tau s.
Definition number_of_actions : R := INR #|Actions|.

Definition e tau s : R :=
  match method c with
  | kl_prior => ComparatorError.kl_prior (a tau s) lambda (p tau s) (eps tau s)
  | kl_posterior => ComparatorError.kl_posterior lambda (p tau s)
  | euclidean => ComparatorError.euclidean (a tau s) (p tau s) (t tau s) (ell tau s) number_of_actions
  | none | policy_gradient => 0
  end.

(* What the algorithm charges for playing x in place of phi(s). *)
Definition penalty tau s (x : dist Actions) : R :=
  match method c with
  | kl_prior => lambda * KL (meta c s) x
  | kl_posterior => lambda * KL x (meta c s)
  | euclidean => ell tau s * parameter_distance x (meta c s)
  | none | policy_gradient => 0
  end.

Definition objective tau s (x : dist Actions) : R := inner x (Q_phi tau s) - penalty tau s x.

(* By how much pi+ falls short of phi and of the comparator in its own objective, where pi+ goes. *)
Definition eta tau s : R :=
  if Rlt_dec 0 (nu_plus tau s)
  then Rmax 0 (Rmax (V_phi c tau s) (Q_phi tau s (best c tau s) - e tau s) - objective tau s (adapted c tau s))
  else 0.

(* Policies that the inner problem chooses from: KL(phi||x) and softmax parameters ask for full support. *)
Definition competes (x : dist Actions) : Prop :=
  match method c with kl_posterior => True | _ => forall b, 0 < x b end.

(* pi+ is the exact solution of its inner problem; Alg(3) stays at phi where phi never goes. *)
Definition solves_inner_problem : Prop := forall tau s,
  if method c is euclidean then
    if Req_EM_T (nu_phi tau s) 0 then forall b, adapted c tau s b = meta c s b
    else forall x, competes x -> objective tau s x <= objective tau s (adapted c tau s)
  else forall x, competes x -> objective tau s x <= objective tau s (adapted c tau s).

(* ---- coverage (section 3) ----------------------------------------------------------------------------------- *)

Definition C tau : R := Largest (fun s => if Rlt_dec 0 (nu_star tau s) then nu_star tau s / nu_plus tau s else 0).
Definition k tau s : R := (Q_phi tau s (best c tau s) - inner (adapted c tau s) (Q_phi tau s)) / lambda.

(* lambda log sum_b phi(b|s) exp(Q^phi(s,b)/lambda). *)
Definition soft_value tau s : R := lambda * ln (Sum (fun b => meta c s b * exp (Q_phi tau s b / lambda))).
Definition zeta tau s : R := Rmax 0 (soft_value tau s - objective tau s (adapted c tau s)).

(* ---- task variance (section 7) ------------------------------------------------------------------------------ *)

(* m(s,b) = E_tau[nu-star(s) pi-star(b|s)] and m(s) = sum_b m(s,b). *)
Definition mass s (b : Actions) : R := Sum (fun tau => w tau * nu_star tau s * point (best c tau s) b).
Definition total s : R := Sum (fun b => mass s b).

(* E_tau E_{nu-star} KL(pi-star || barycentre), and E_{nu-star} KL(barycentre || phi); pairs without mass count 0. *)
Definition Var : R := Sum (fun s => Sum (fun b => mass s b * ln (total s / mass s b))).
Definition M : R := Sum (fun s => Sum (fun b => mass s b * ln (mass s b / (total s * meta c s b)))).

End Constants.

Definition A (Tasks States Actions : finType) (c : case Tasks States Actions) : R :=
  number_of_actions Actions.
